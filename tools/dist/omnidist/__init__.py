"""Native artifacts for five platforms, built, packaged, signed and tried on one machine. Standard library only.

Read first: `platforms` says what is built, `toolchain` with what, `build` how; `package` makes the files that people
download; `smoke` tries them.
"""
