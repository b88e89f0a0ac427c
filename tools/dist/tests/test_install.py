"""install.sh against a release on this machine's web server: install, upgrade, roll back, and everything that must be refused."""

import subprocess

from .release import HERE, SCRIPT, Release


class Install(Release):
    def install(self, *words, fails=False):
        done = subprocess.run(["sh", SCRIPT, "--prefix", self.folder / "here", *words], capture_output=True, text=True, check=False,
                              env=self.environment())
        self.assertEqual(done.returncode != 0, fails, done.stderr)
        return done.stderr

    def current(self):
        return subprocess.run([self.folder / "here/bin/omnirelay"], capture_output=True, text=True, check=True).stdout.strip()

    def test_install_upgrade_and_roll_back(self):
        self.offer("1.0.0")
        said = self.install("--base-url", self.url, "--key", self.folder / "cosign.pub")
        self.assertIn("the signature of the sums holds", said)
        self.assertEqual(self.current(), "omnirelay 1.0.0")
        self.assertTrue((self.folder / "here/share/man/man1/omnirelay.1").exists())
        self.assertTrue((self.folder / "here/share/bash-completion/completions/omnirelay").exists())
        self.offer("1.1.0")
        self.install("--base-url", self.url)
        self.assertEqual(self.current(), "omnirelay 1.1.0")
        self.assertIn("omnirelay 1.0.0 is current again", self.install("--rollback"))
        self.assertEqual(self.current(), "omnirelay 1.0.0")
        self.install("--rollback")
        self.assertEqual(self.current(), "omnirelay 1.1.0")

    def test_the_same_version_twice_keeps_the_one_before(self):
        for version in ("1.0.0", "1.1.0", "1.1.0"):
            self.offer(version)
            self.install("--base-url", self.url)
        self.install("--rollback")
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_a_changed_archive_is_refused_and_nothing_changes(self):
        self.offer("1.0.0")
        self.install("--base-url", self.url)
        with self.offer("1.1.0").open("ab") as archive:
            archive.write(b"more")
        self.assertIn("is not what the release says", self.install("--base-url", self.url, fails=True))
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_sums_that_somebody_else_signed_are_refused(self):
        self.offer("1.0.0")
        with (self.web / "SHA256SUMS").open("a", encoding="ascii") as sums:
            sums.write("\n")
        said = self.install("--base-url", self.url, "--key", self.folder / "cosign.pub", fails=True)
        self.assertIn("does not hold", said)
        self.assertFalse((self.folder / "here").exists())

    def test_a_program_that_does_not_run_here_is_not_installed(self):
        self.offer("1.0.0")
        self.install("--base-url", self.url)
        self.offer("1.1.0", says="exit 126")
        self.assertIn("nothing was changed", self.install("--base-url", self.url, fails=True))
        self.assertEqual(self.current(), "omnirelay 1.0.0")

    def test_what_is_not_there_is_said(self):
        self.assertIn("no version before", self.install("--rollback", fails=True))
        self.assertIn("SHA256SUMS cannot be fetched", self.install("--base-url", self.url, fails=True))
        (self.web / "SHA256SUMS").write_text("", encoding="ascii")
        self.assertIn(f"has nothing for {HERE.name}", self.install("--base-url", self.url, fails=True))
        self.assertIn("unknown option --wrong", self.install("--wrong", fails=True))
        self.assertIn("--key needs a value", self.install("--key", fails=True))
        self.offer("1.0.0")
        self.assertIn("has version 1.0.0, not 2.0.0", self.install("--base-url", self.url, "--version", "2.0.0", fails=True))
