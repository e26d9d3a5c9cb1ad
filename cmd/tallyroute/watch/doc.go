// Package watch holds the commands about what needs attention: events, alerts, incidents,
// and routers that hold allowances.
package watch
