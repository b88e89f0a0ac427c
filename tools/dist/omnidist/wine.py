"""Windows programs under wine, in a prefix of their own."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from .cases import Launcher
from .fetch import cache
from .say import Failure, run
from .toolchain import zig

# Wine before 9 lacks the one function of this library that Rust's standard library takes random bytes from.
_SHIM = """\
__declspec(dllimport) unsigned char __stdcall SystemFunction036(void *buffer, unsigned long length);
__declspec(dllexport) int __stdcall ProcessPrng(unsigned char *buffer, unsigned long long length) {
    return SystemFunction036(buffer, (unsigned long)length);
}
int __stdcall DllMainCRTStartup(void *instance, unsigned long reason, void *reserved) { return 1; }
"""


def launcher(programs: Path, folder: Path) -> tuple[Launcher | None, str]:
    """Wine, where it is installed. Lays the shim beside the programs where this wine needs it."""
    # Debian's `wine` is a script that speaks of its 32-bit half; that is not needed.
    wine = next((path for name in ("/usr/lib/wine/wine64", "wine64", "wine") if (path := shutil.which(name))), None)
    if wine is None:
        return None, "no wine here"
    places = [path for base in ("/usr/lib", "/usr/lib64", "/opt/wine-stable/lib") for path in Path(base).glob("**/bcryptprimitives.dll")]
    if not places:
        shutil.copyfile(_shim(), programs / "bcryptprimitives.dll")
    prefix = folder / "wine"
    return Launcher([wine], {"WINEPREFIX": str(prefix), "WINEDEBUG": "-all", "DISPLAY": "",
                             "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe="}), ""


def _shim() -> Path:
    made = cache() / f"wine-shim-{hashlib.sha256(_SHIM.encode()).hexdigest()[:8]}" / "bcryptprimitives.dll"
    if not made.exists():
        made.parent.mkdir(parents=True, exist_ok=True)
        source = made.with_name("shim.c")
        source.write_text(_SHIM, encoding="utf-8")
        try:
            run([zig(), "cc", "-target", "x86_64-windows-gnu", "-shared", "-nostdlib", "-O1", "-o", made, source, "-ladvapi32"],
                "building wine's missing library", log=made.with_name("build.log"),
                env=os.environ | {"ZIG_GLOBAL_CACHE_DIR": str(cache() / "zig-cache")})
        except Failure:
            made.unlink(missing_ok=True)
            raise
    return made
