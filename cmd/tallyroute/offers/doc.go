// Package offers holds the commands about who serves which model at what price: the
// catalogue, providers, models and routes.
package offers
