engine_flags=()
engine_ensure() { :; }
engine_release() { :; }
