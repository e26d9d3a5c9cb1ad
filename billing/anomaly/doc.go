// Package anomaly finds what is unusual about the use of a key: more of something than
// was ever usual at that hour, or a network, country, program or model from which or for
// which it was never used. It learns from what the key did before, and is pure: it reads
// nothing and knows no clock.
//
// The files, from the ground up; each uses only those above it:
//
//	hours.go     what keys did
//	baseline.go  what is usual of it
//	sights.go    what is seen for the first time
//	judge.go     what is unusual
//	life.go      the same of one hour after the other
package anomaly
