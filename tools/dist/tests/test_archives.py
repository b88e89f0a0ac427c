"""Archives and Debian packages: the same bytes each time, and what other tools make of them."""

import io
import shutil
import subprocess
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

from omnidist import ar, archive, deb, package
from omnidist.archive import Entry
from omnidist.package import Release
from omnidist.platforms import PLATFORMS

FILES = {"b/program": Entry(b"\x7fELF", executable=True), "a.txt": Entry("grüße\n".encode())}
BY_NAME = {platform.name: platform for platform in PLATFORMS}
COMMITTED = 1_700_000_000


class Archives(unittest.TestCase):
    def test_the_order_of_files_changes_nothing(self):
        turned = dict(reversed(FILES.items()))
        self.assertEqual(archive.tar_gz(FILES, COMMITTED), archive.tar_gz(turned, COMMITTED))
        self.assertEqual(archive.zipped(FILES, COMMITTED), archive.zipped(turned, COMMITTED))

    def test_a_tar_holds_folders_modes_and_one_time_and_belongs_to_root(self):
        with tarfile.open(fileobj=io.BytesIO(archive.tar_gz(FILES, COMMITTED, "./"))) as packed:
            found = {entry.name: entry for entry in packed}
        self.assertEqual(list(found), [".", "./a.txt", "./b", "./b/program"])
        self.assertEqual([oct(entry.mode) for entry in found.values()], ["0o755", "0o644", "0o755", "0o755"])
        self.assertEqual({(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in found.values()}, {(0, 0, "root", COMMITTED)})

    def test_an_archive_has_one_folder_of_its_own_name(self):
        release = Release("1.2.3", "abc", COMMITTED)
        windows = package.pack(FILES, BY_NAME["windows-x64"], release, "omnirelay-1.2.3-windows-x64")
        with zipfile.ZipFile(io.BytesIO(windows)) as packed:
            self.assertEqual(packed.namelist(), ["omnirelay-1.2.3-windows-x64/a.txt", "omnirelay-1.2.3-windows-x64/b/program"])
            self.assertEqual(packed.read("omnirelay-1.2.3-windows-x64/b/program"), b"\x7fELF")
        linux = package.pack(FILES, BY_NAME["linux-x64"], release, "omnirelay-1.2.3-linux-x64")
        with tarfile.open(fileobj=io.BytesIO(linux)) as packed:
            self.assertEqual({name.split("/")[0] for name in packed.getnames()}, {"omnirelay-1.2.3-linux-x64"})

    def test_ar_archives_are_read_as_they_were_written(self):
        parts = [("debian-binary", b"2.0\n"), ("odd", b"123"), ("even", b"1234")]
        self.assertEqual(list(ar.members(ar.archive(parts, COMMITTED))), parts)


@unittest.skipUnless(shutil.which("dpkg-deb"), "dpkg-deb judges the package")
class DebianPackages(unittest.TestCase):
    def test_dpkg_reads_and_unpacks_what_was_made(self):
        legal = {"LICENSE": Entry(b"ours\n"), "THIRD-PARTY-LICENSES.txt": Entry(b"theirs\n")}
        papers = {"man/relayd.8": Entry(b".TH\n"), "completions/_omnirelay": Entry(b"#compdef\n")}
        files = package.installed({"relayd": Entry(b"binary", executable=True)}, legal, papers)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "omnirelay.deb")
            path.write_bytes(deb.package(files, "1.0.0-rc.1", "arm64", COMMITTED))
            fields = subprocess.run(["dpkg-deb", "--field", path, "Package", "Version", "Architecture"], capture_output=True,
                                    text=True, check=True).stdout
            self.assertEqual(fields, "Package: omnirelay\nVersion: 1.0.0~rc.1\nArchitecture: arm64\n")
            subprocess.run(["dpkg-deb", "--raw-extract", path, Path(folder, "root")], check=True)
            root = Path(folder, "root")
            self.assertEqual((root / "usr/bin/relayd").read_bytes(), b"binary")
            self.assertTrue((root / "usr/bin/relayd").stat().st_mode & 0o111)
            self.assertTrue((root / "usr/share/man/man8/relayd.8").exists())
            self.assertEqual((root / "usr/share/doc/omnirelay/copyright").read_text(), "ours\n\ntheirs\n")
            subprocess.run(["md5sum", "--check", "--strict", "--quiet", "DEBIAN/md5sums"], cwd=root, check=True)
