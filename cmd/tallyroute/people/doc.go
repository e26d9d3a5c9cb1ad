// Package people holds the commands about who administers and for whom: principals,
// logins, teams, projects, and the audit log.
package people
