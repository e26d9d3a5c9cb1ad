// Package jsonraw works on JSON as the bytes that arrived: it scans them strictly,
// gives views into them, splices members in and out, and writes new objects. A
// number keeps its digits and a string its escapes, because nothing is decoded
// into Go values and encoded again.
//
// From the bottom up: lex.go knows tokens, walk.go reads leniently and quoted.go
// strings, scan.go reads strictly along a tree of fields, index.go edits, and
// writer.go writes.
package jsonraw
