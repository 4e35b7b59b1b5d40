# What the parts of `make bench` share; sourced with the name of the part: the binary under test in
# $GANTRY, the folder to work in in $work, and one for this run's figures in $results. Leaves the
# caller in $work, alone on it.
here=$PWD
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -E 's/.*"target_directory":"([^"]*)".*/\1/')
work=$target/bench
results=$here/bench/results/$(date -u +%Y-%m-%dT%H%M%SZ)${1:+-$1}

if [[ -z ${GANTRY:-} ]]; then
    cargo build --release --workspace --locked
    GANTRY=$target/release/gantry
fi

mkdir -p "$work" "$results"
# A second run would take the first one's cores and files.
exec 9>"$work/lock"
flock 9
cd "$work"

# The tree that all but the large ones are about, made once.
make_tree() {
    [[ ! -e tree.txt ]] || return 0
    rm -rf image
    python3 "$here/bench/tree.py" image >tree.new
    mv tree.new tree.txt
}
