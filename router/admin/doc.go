// Package admin is the second listener: keys, owners, budgets and spend for
// administrators, health and metrics for operators. It speaks to the stores
// alone; it knows no provider and sends nothing upstream.
package admin
