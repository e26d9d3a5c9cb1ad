// Package jsonraw works on JSON as the bytes that arrived: it scans them strictly, gives
// views into them, splices members in and out, and writes new objects. Numbers keep their
// digits and strings their escapes, because nothing is decoded into Go values and encoded
// again.
//
// lex.go handles tokens, pace.go keeps long work from holding up other requests, walk.go reads
// leniently, quoted.go handles strings, scan.go reads strictly along a tree of fields, index.go
// edits, and writer.go writes.
package jsonraw
