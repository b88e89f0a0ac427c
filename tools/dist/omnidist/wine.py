"""Windows programs under wine, in a prefix of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

from .cases import Launcher
from .fetch import cache
from .say import Failure, run
from .toolchain import zig

# Wine before 9 lacks the one function of this library that Rust's standard library takes random bytes from.
_SHIM = """\
#include <windows.h>
BOOLEAN NTAPI SystemFunction036(void *buffer, ULONG length);
__declspec(dllexport) BOOL WINAPI ProcessPrng(unsigned char *buffer, SIZE_T length) {
    return SystemFunction036(buffer, (ULONG)length);
}
"""


def launcher(programs: Path, folder: Path) -> tuple[Launcher | None, str]:
    """Wine, where it is installed. Lays the shim beside the programs where this wine needs it."""
    wine = shutil.which("wine64") or shutil.which("wine")
    if wine is None:
        return None, "no wine here"
    places = [path for base in ("/usr/lib", "/usr/lib64", "/opt/wine-stable/lib") for path in Path(base).glob("**/bcryptprimitives.dll")]
    if not places:
        shutil.copyfile(_shim(), programs / "bcryptprimitives.dll")
    prefix = folder / "wine"
    return Launcher([wine], {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "DISPLAY": "",
                             "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe="}), ""


def _shim() -> Path:
    made = cache() / "wine-shim" / "bcryptprimitives.dll"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        source = made.with_name("shim.c")
        source.write_text(_SHIM, encoding="utf-8")
        try:
            run([zig(), "cc", "-target", "x86_64-windows-gnu", "-shared", "-O1", "-o", made, source, "-ladvapi32"],
                "building wine's missing library", log=made.with_name("build.log"))
        except Failure:
            made.unlink(missing_ok=True)
            raise
    return made
