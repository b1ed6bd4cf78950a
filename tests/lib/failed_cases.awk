# Of doctest's output, without colour: the names of the test cases that failed, a line each. A message of a case that passes has the same
# heading, so a heading counts once an error stands below it.
/^TEST CASE:/ { sub(/^TEST CASE: */, ""); name = $0; next }
/: (FATAL )?ERROR: / && name != "" { print name; name = "" }
