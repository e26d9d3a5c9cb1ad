// Package learn watches how estimates of prompts compare with what providers
// report, and says how much to hold so that the hold is not below the truth for
// more than one request in a thousand, and not far above it. It owns that
// arithmetic and nothing else: how a prompt is estimated is not its business.
//
// What it knows lives in memory. A process that starts knows nothing and holds
// the whole estimate, as if it had never learnt: too much rather than too little.
package learn
