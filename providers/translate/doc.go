// Package translate holds what the adapters of formats other than OpenAI's have
// in common: the turns of a request as they read them, and answers, chunks and
// usage in the OpenAI format as they write them. It knows no provider.
package translate
