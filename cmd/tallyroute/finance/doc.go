// Package finance holds the commands about money: budgets, reports, prices, months,
// corrections, and the proof that the ledger adds up.
package finance
