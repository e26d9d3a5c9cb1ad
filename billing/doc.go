// Package billing owns virtual keys, budgets, prices, money and the ledger: who
// may spend, how much, and what was spent. It declares the stores' interfaces
// and holds the arithmetic; it opens no connection and knows no provider.
package billing
