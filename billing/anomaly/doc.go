// Package anomaly finds unusual use of a key: more of something than was ever usual at that
// hour, or a network, country, program or model that the key was never used with before. It
// learns from the key's past, and is pure: it does no I/O and uses no clock.
//
// The files, from the ground up; each uses only those above it:
//
//	hours.go     what keys did
//	baseline.go  what is usual for them
//	sights.go    what is seen for the first time
//	judge.go     what is unusual
//	life.go      judges a key hour by hour
package anomaly
