#!/bin/sh
# Writes the bytes of the wire's cases into the corpus of the target wire_head, one file per case.
set -eu
cd "$(dirname "$0")"
mkdir -p corpus/wire_head
cat ../wire/*.http | sed -n 's/^send: //p' | while IFS= read -r line; do
    name=$(printf '%s' "$line" | cksum | cut -d ' ' -f 1)
    # printf %b knows \r, \n, \t, \\ and, in octal only, bytes; hexadecimal escapes are turned into octal first.
    octal=$(printf '%s' "$line" | awk '{
        hex = "0123456789abcdef"; out = ""
        while (match($0, /\\x[0-9a-fA-F][0-9a-fA-F]/)) {
            digits = tolower(substr($0, RSTART + 2, 2))
            value = (index(hex, substr(digits, 1, 1)) - 1) * 16 + index(hex, substr(digits, 2, 1)) - 1
            out = out substr($0, 1, RSTART - 1) sprintf("\\0%03o", value); $0 = substr($0, RSTART + 4)
        }
        print out $0 }')
    printf '\001%b' "$octal" > "corpus/wire_head/$name"
done
