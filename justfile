# Each lane is one plain command; `just` only shortens it.

# What there is
default:
    @just --list

# Formatting, lints, documentation, the house rules, shell
[group('check')]
check:
    tests/run check

# Every test that needs no machine
[group('check')]
test:
    tests/run test

# The whole product on machines of the lab; HOMECTL_E2E=one names the lanes
[group('check')]
e2e:
    tests/run e2e

# The numbers of docs/measurements.md, on a quiet computer: `just bench fresh three`, `noop`, `upload`, `memory`
[group('check')]
bench *ARGS:
    tests/bench/run {{ ARGS }}

# Machines to try homectl on: `just lab up three`, `just lab sh attic`, `just lab down`
[group('lab')]
lab *ARGS:
    tests/lab/lab {{ ARGS }}

# Three machines, one cluster, from nothing
[group('lab')]
demo:
    tests/lab/lab demo
