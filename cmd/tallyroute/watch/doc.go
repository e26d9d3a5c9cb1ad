// Package watch holds the commands about what somebody should look at: events, alerts,
// incidents, and routers that hold allowances.
package watch
