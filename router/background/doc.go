// Package background lets calls whose client has left be finished, because their
// provider bills them anyway: so many for each key, and so many in all.
package background
