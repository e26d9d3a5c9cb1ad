// Package secrettest has servers that speak what managers of secrets speak: their paths,
// logins, signatures, versions, errors and limits, as they document them. Tests ask them
// in place of the real ones.
package secrettest
