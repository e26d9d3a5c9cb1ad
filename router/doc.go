// Package router is the life of one chat completion: verify the key, read and
// check the request, estimate, plan, hold, send with failover, watch the usage,
// settle. It knows no HTTP framework and no database; what it needs of the
// others it declares as narrow interfaces.
package router
