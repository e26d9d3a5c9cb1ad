// Package admin is the admin listener: keys, owners, budgets, spend, health and
// metrics, for operators. It is not reachable with a virtual key, and nothing
// here answers a completion.
package admin
