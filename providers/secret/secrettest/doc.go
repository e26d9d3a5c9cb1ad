// Package secrettest fakes secret managers for tests: servers with the paths, logins,
// signatures, versions, errors and limits that the real ones document.
package secrettest
