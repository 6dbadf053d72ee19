#!/bin/sh
# Writes seeds into the corpus of each target: rules, policies, and the cases of the tests, one file per case.
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
mkdir -p corpus/rule_text corpus/policy_text corpus/path corpus/request_body corpus/transformations corpus/operators
cp ../../policies/rules/*.conf ../../src/seclang/tests/diagnostics/*.conf corpus/rule_text/
cp ../../policies/gateway.toml corpus/policy_text/
printf 'a.example\n/shop/%%2e%%2e/admin' >corpus/path/dots
printf 'B:443\n/shop%%2Fopen;v=1//x\\y' >corpus/path/readings
printf '\000a=1&b=%%41' >corpus/request_body/form
printf '\001--xx\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n1\r\n--xx--\r\n' >corpus/request_body/multipart
printf '\002{"a":[1,{"b":"\\u0041"}],"a":null}' >corpus/request_body/json
printf '\003<!DOCTYPE a [<!ENTITY e "x">]><a xmlns:n="u" n:b="c">&e;<![CDATA[y]]></a>' >corpus/request_body/xml
printf '\003\001\002\003%%3Cscript%%3E \\u0041 &#x41; /* x */ 0x41' >corpus/transformations/mixed
# Values that libinjection judged, for the two operators that do the same (choices 6 and 7).
sed -n "s/^\"\([^\\\"]*\)\" .*/\1/p" ../../src/seclang/tests/libinjection/verdicts.txt | head -n 400 | while IFS= read -r value; do
    name=$(printf '%s' "$value" | cksum | cut -d ' ' -f 1)
    printf '\006\000%s' "$value" >"corpus/operators/sql_$name"
    printf '\007\000%s' "$value" >"corpus/operators/html_$name"
done
