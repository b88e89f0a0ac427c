"""Tests of the gate. Run: python3 -m unittest discover -s tools/gate/tests -t tools/gate"""
