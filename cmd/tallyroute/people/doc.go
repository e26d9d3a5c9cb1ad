// Package people holds the commands about who administers what: principals, logins, teams,
// projects, and the audit log.
package people
