// Package web is what every HTTP listener of the program shares: the bounds of its http.Server,
// the request being answered with its id, its body and its answer, recovery from panics, and
// the table that turns errors into what clients read. A listener embeds Listener and Exchange
// and adds its routes, its rows of the table and its codes.
package web
