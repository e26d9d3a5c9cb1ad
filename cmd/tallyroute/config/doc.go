// Package config reads the configuration: a file, overridden by the environment, together
// with everything that is wrong with either. A Config is plain data; nothing is opened or
// built from it here.
//
// The files, from the ground up; each uses only those above it:
//
//	types.go             how single values are written
//	alerts.go            who is told of what
//	tls.go               which listeners speak TLS
//	config.go            the settings and their defaults
//	faults.go            what is wrong
//	read.go, env.go      the file, and the environment over it
//	managers.go          where secrets are kept, and delivered to
//	check_login.go       what cannot work of logins and of TLS
//	check.go             what cannot work
//	check_alerts.go      and of alerts
//	uses.go              which settings are secrets, and where those are
//	print.go             and back into a file
//	load.go              all of it in order, and what stays while a router runs
package config
