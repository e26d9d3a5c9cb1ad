package meter

import (
	"strings"
	"testing"
	"time"

	"tallyroute/billing"
	"tallyroute/providers"
	"tallyroute/providers/chat"
	"tallyroute/router/plan"
	"tallyroute/router/tokens"
)

// listed are the prices of TestCostOfRecordedUsage, in dollars per million
// tokens: prompt, completion, and of the other kinds those that are named.
var epoch = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func listed(t *testing.T) *billing.PriceBook {
	usd := func(s string) billing.Money {
		m, err := billing.ParseMoney(s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	flat := func(model, prompt, completion string) billing.Price { // cached tokens cost the same as the prompt
		return billing.Price{
			Provider: "p", Model: model, ID: "price_" + model, Since: epoch.AddDate(-1, 0, 0),
			Input: usd(prompt), CacheRead: usd(prompt), CacheWrite: usd(prompt), Output: usd(completion),
		}
	}
	read := func(p billing.Price, cached string) billing.Price {
		p.CacheRead = usd(cached)
		return p
	}
	write := func(p billing.Price, minutes, hour string) billing.Price {
		p.CacheWrite, p.CacheWrite1h = usd(minutes), usd(hour)
		return p
	}
	tier := func(p billing.Price, name string) billing.Price {
		p.ServiceTier, p.ID = name, p.ID+"_"+name
		return p
	}
	over := func(p billing.Price, tokens int64) billing.Price {
		p.MinInput, p.ID = tokens+1, p.ID+"_long"
		return p
	}
	audio := flat("gpt-audio", "2.50", "10")
	audio.AudioInput, audio.AudioOutput = usd("32"), usd("64")
	voxtral := flat("voxtral", "0.10", "0.30")
	voxtral.AudioInput = usd("4")
	flash := read(flat("gemini-flash", "0.30", "2.50"), "0.03")
	flash.AudioInput = usd("1")
	sonar := flat("sonar", "1", "1")
	sonar.Request = usd("0.005")
	thinking := flat("qwen-thinking", "0.40", "1.20")
	thinking.Reasoning = usd("4")
	tiny := flat("tiny", "0.0005", "0.0005") // half a nano-dollar per token
	tiny.AudioInput, tiny.Reasoning = usd("0.0001"), usd("0.0004")
	return billing.NewPriceBook([]billing.Price{
		read(flat("gpt-4o", "2.50", "10"), "1.25"), tier(flat("gpt-4o", "1.25", "5"), "batch"),
		tier(read(flat("gpt-4o", "4.25", "17"), "2.125"), "priority"),
		read(flat("gpt-5", "1.25", "10"), "0.125"), tier(read(flat("gpt-5", "0.625", "5"), "0.0625"), "flex"),
		tier(read(flat("gpt-5", "2.50", "20"), "0.25"), "priority"),
		write(read(flat("claude", "3", "15"), "0.30"), "3.75", "6"), over(write(read(flat("claude", "6", "22.50"), "0.60"), "7.50", "12"),
			200_000), tier(flat("claude", "1.50", "7.50"), "batch"),
		read(flat("gemini-pro", "1.25", "10"), "0.125"), over(read(flat("gemini-pro", "2.50", "15"), "0.25"), 200_000), flash,
		audio, voxtral, read(flat("grok", "3", "15"), "0.75"), read(flat("deepseek", "0.28", "0.42"), "0.028"), sonar, thinking, tiny,
	})
}

// What providers report, each in its own way, costs the same as when calculated by hand. A
// dollar per million tokens is 1000 nano-dollars per token.
func TestCostOfRecordedUsage(t *testing.T) {
	tests := []struct {
		name, model, asked, served string
		usage                      string
		want                       billing.Money // nano-dollars
	}{
		{
			"plain", "gpt-4o", "", "default",
			`{"prompt_tokens":1117,"completion_tokens":46,"total_tokens":1163,"prompt_tokens_details":{"cached_tokens":0,` +
				`"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,` +
				`"rejected_prediction_tokens":0}}`,
			3252500, // 1117*2500 + 46*10000
		},
		{
			"cached inside the prompt", "gpt-4o", "", "default",
			`{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,` +
				`"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}`,
			5615000, // 86*2500 + 1920*1250 + 300*10000
		},
		{
			"all cached", "gpt-4o", "", "",
			`{"prompt_tokens":1024,"completion_tokens":1,"total_tokens":1025,"prompt_tokens_details":{"cached_tokens":1024}}`,
			1290000, // 1024*1250 + 1*10000
		},
		{
			"nothing", "gpt-4o", "", "",
			`{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`,
			0, // 0
		},
		{
			"batch", "gpt-4o", "batch", "batch",
			`{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200}`,
			2250000, // 1000*1250 + 200*5000
		},
		{
			"batch, cached: no rate of its own", "gpt-4o", "batch", "batch",
			`{"prompt_tokens":1000,"completion_tokens":200,"total_tokens":1200,"prompt_tokens_details":{"cached_tokens":600}}`,
			2250000, // 400*1250 + 600*1250 + 200*5000
		},
		{
			"priority", "gpt-4o", "priority", "priority",
			`{"prompt_tokens":500,"completion_tokens":80,"total_tokens":580}`,
			3485000, // 500*4250 + 80*17000
		},
		{
			"priority, cached", "gpt-4o", "priority", "priority",
			`{"prompt_tokens":1500,"completion_tokens":80,"total_tokens":1580,"prompt_tokens_details":{"cached_tokens":1280}}`,
			5015000, // 220*4250 + 1280*2125 + 80*17000
		},
		{
			"priority asked, standard served", "gpt-4o", "priority", "default",
			`{"prompt_tokens":500,"completion_tokens":80,"total_tokens":580}`,
			2050000, // 500*2500 + 80*10000
		},
		{
			"auto asked, priority served", "gpt-4o", "auto", "priority",
			`{"prompt_tokens":500,"completion_tokens":80,"total_tokens":580}`,
			3485000, // 500*4250 + 80*17000
		},
		{
			"flex without a price of its own", "gpt-4o", "flex", "flex",
			`{"prompt_tokens":500,"completion_tokens":80,"total_tokens":580}`,
			2050000, // 500*2500 + 80*10000
		},
		{
			"reasoning inside the completion", "gpt-5", "", "default",
			`{"prompt_tokens":81,"completion_tokens":1035,"total_tokens":1116,"prompt_tokens_details":{"cached_tokens":0},` +
				`"completion_tokens_details":{"reasoning_tokens":832}}`,
			10451250, // 81*1250 + 1035*10000
		},
		{
			"flex", "gpt-5", "flex", "flex",
			`{"prompt_tokens":2000,"completion_tokens":1035,"total_tokens":3035,"completion_tokens_details":{"reasoning_tokens":832}}`,
			6425000, // 2000*625 + 1035*5000
		},
		{
			"flex, cached", "gpt-5", "flex", "flex",
			`{"prompt_tokens":2000,"completion_tokens":35,"total_tokens":2035,"prompt_tokens_details":{"cached_tokens":1792}}`,
			417000, // 208*625 + 1792*125/2 + 35*5000
		},
		{
			"priority with reasoning", "gpt-5", "priority", "priority",
			`{"prompt_tokens":100,"completion_tokens":900,"total_tokens":1000,"completion_tokens_details":{"reasoning_tokens":700}}`,
			18250000, // 100*2500 + 900*20000
		},
		{
			"audio heard", "gpt-audio", "", "",
			`{"prompt_tokens":120,"completion_tokens":30,"total_tokens":150,"prompt_tokens_details":{"audio_tokens":100,"text_tokens":20,` +
				`"cached_tokens":0}}`,
			3550000, // 20*2500 + 100*32000 + 30*10000
		},
		{
			"audio spoken", "gpt-audio", "", "",
			`{"prompt_tokens":40,"completion_tokens":250,"total_tokens":290,"completion_tokens_details":{"audio_tokens":200,` +
				`"text_tokens":50}}`,
			13400000, // 40*2500 + 50*10000 + 200*64000
		},
		{
			"audio both ways, partly cached", "gpt-audio", "", "",
			`{"prompt_tokens":300,"completion_tokens":250,"total_tokens":550,"prompt_tokens_details":{"audio_tokens":100,` +
				`"cached_tokens":128},"completion_tokens_details":{"audio_tokens":200}}`,
			17000000, // 72*2500 + 100*32000 + 128*2500 + 50*10000 + 200*64000
		},
		{
			"audio beside the prompt", "voxtral", "", "",
			`{"prompt_tokens":11,"completion_tokens":15,"prompt_tokens_details":{"audio_tokens":375,"cached_tokens":0},"total_tokens":401}`,
			1505600, // 11*100 + 375*4000 + 15*300
		},
		{
			"audio without a rate of its own", "gpt-4o", "", "",
			`{"prompt_tokens":120,"completion_tokens":30,"total_tokens":150,"prompt_tokens_details":{"audio_tokens":100}}`,
			600000, // 120*2500 + 30*10000
		},
		{
			"cache written for five minutes", "claude", "", "standard",
			`{"prompt_tokens":2095,"completion_tokens":503,"total_tokens":2598,"prompt_tokens_details":{"cached_tokens":0},` +
				`"cache_creation_input_tokens":2048,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":2048,` +
				`"ephemeral_1h_input_tokens":0}}`,
			15366000, // 47*3000 + 2048*3750 + 503*15000
		},
		{
			"cache written for an hour", "claude", "", "standard",
			`{"prompt_tokens":2095,"completion_tokens":503,"total_tokens":2598,"cache_creation_input_tokens":2048,` +
				`"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":2048}}`,
			19974000, // 47*3000 + 2048*6000 + 503*15000
		},
		{
			"cache written for both", "claude", "", "",
			`{"prompt_tokens":3000,"completion_tokens":10,"total_tokens":3010,"cache_creation_input_tokens":2500,` +
				`"cache_creation":{"ephemeral_5m_input_tokens":1500,"ephemeral_1h_input_tokens":1000}}`,
			13275000, // 500*3000 + 1500*3750 + 1000*6000 + 10*15000
		},
		{
			"cache read and written", "claude", "", "",
			`{"prompt_tokens":10050,"completion_tokens":200,"total_tokens":10250,"prompt_tokens_details":{"cached_tokens":9000,` +
				`"cache_write_tokens":1000}}`,
			9600000, // 50*3000 + 9000*300 + 1000*3750 + 200*15000
		},
		{
			"cache beside the prompt", "claude", "", "",
			`{"prompt_tokens":50,"completion_tokens":200,"total_tokens":250,"cache_read_input_tokens":9000,` +
				`"cache_creation_input_tokens":1000}`,
			9600000, // 50*3000 + 9000*300 + 1000*3750 + 200*15000
		},
		{
			"just not a long prompt", "claude", "", "",
			`{"prompt_tokens":200000,"completion_tokens":100,"total_tokens":200100}`,
			601500000, // 200000*3000 + 100*15000
		},
		{
			"just a long prompt", "claude", "", "",
			`{"prompt_tokens":200001,"completion_tokens":100,"total_tokens":200101}`,
			1202256000, // 200001*6000 + 100*22500
		},
		{
			"long by what was cached", "claude", "", "",
			`{"prompt_tokens":250000,"completion_tokens":100,"total_tokens":250100,"prompt_tokens_details":{"cached_tokens":240000}}`,
			206250000, // 10000*6000 + 240000*600 + 100*22500
		},
		{
			"long, written for an hour", "claude", "", "",
			`{"prompt_tokens":250000,"completion_tokens":100,"total_tokens":250100,"cache_creation_input_tokens":240000,` +
				`"cache_creation":{"ephemeral_1h_input_tokens":240000}}`,
			2942250000, // 10000*6000 + 240000*12000 + 100*22500
		},
		{
			"long, in a batch without a step", "claude", "batch", "batch",
			`{"prompt_tokens":250000,"completion_tokens":100,"total_tokens":250100}`,
			375750000, // 250000*1500 + 100*7500
		},
		{
			"thoughts apart, only in the total", "gemini-pro", "", "",
			`{"prompt_tokens":66,"completion_tokens":6,"total_tokens":1100}`,
			10422500, // 66*1250 + 1034*10000
		},
		{
			"thoughts beside the completion", "gemini-pro", "", "",
			`{"prompt_tokens":66,"completion_tokens":6,"total_tokens":1100,"completion_tokens_details":{"reasoning_tokens":1028}}`,
			10422500, // 66*1250 + 1034*10000
		},
		{
			"long with a cache", "gemini-pro", "", "",
			`{"prompt_tokens":300000,"completion_tokens":1000,"total_tokens":301000,"prompt_tokens_details":{"cached_tokens":280000}}`,
			135000000, // 20000*2500 + 280000*250 + 1000*15000
		},
		{
			"audio of another rate", "gemini-flash", "", "",
			`{"prompt_tokens":1000,"completion_tokens":40,"total_tokens":1040,"prompt_tokens_details":{"audio_tokens":900}}`,
			1030000, // 100*300 + 900*1000 + 40*2500
		},
		{
			"reasoning left out of the completion", "grok", "", "",
			`{"prompt_tokens":361,"completion_tokens":26,"total_tokens":622,"prompt_tokens_details":{"cached_tokens":360},` +
				`"completion_tokens_details":{"reasoning_tokens":235}}`,
			4188000, // 1*3000 + 360*750 + 261*15000
		},
		{
			"hits and misses", "deepseek", "", "",
			`{"prompt_tokens":368,"completion_tokens":19,"total_tokens":387,"prompt_tokens_details":{"cached_tokens":256},` +
				`"prompt_cache_hit_tokens":256,"prompt_cache_miss_tokens":112}`,
			46508, // 112*280 + 256*28 + 19*420
		},
		{
			"a fee for each request", "sonar", "", "",
			`{"prompt_tokens":14,"completion_tokens":208,"total_tokens":222,"search_context_size":"low"}`,
			5222000, // 14*1000 + 208*1000 + 5000000
		},
		{
			"reasoning of another rate", "qwen-thinking", "", "",
			`{"prompt_tokens":100,"completion_tokens":1000,"total_tokens":1100,"completion_tokens_details":{"reasoning_tokens":800}}`,
			3480000, // 100*400 + 200*1200 + 800*4000
		},
		{
			"more reasoning than completion", "qwen-thinking", "", "",
			`{"prompt_tokens":15,"completion_tokens":256,"total_tokens":271,"completion_tokens_details":{"reasoning_tokens":270}}`,
			1030000, // 15*400 + 256*4000
		},
		{
			"halves go to the even nano-dollar", "tiny", "", "",
			`{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}`,
			4, // 2 + 2
		},
		{
			"each kind is rounded by itself", "tiny", "", "",
			`{"prompt_tokens":4,"completion_tokens":7,"total_tokens":11,"prompt_tokens_details":{"audio_tokens":1},` +
				`"completion_tokens_details":{"reasoning_tokens":2}}`,
			5, // 2 + 0 + 2 + 1
		},
		{
			"tens of millions of tokens", "gpt-4o", "", "",
			`{"prompt_tokens":90000000,"completion_tokens":10000000,"total_tokens":100000000}`,
			325000000000, // 90000000*2500 + 10000000*10000
		},
	}
	book := listed(t)
	seen := make(map[string]bool)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body := `{"choices":[{"message":{"content":"x"}}],"service_tier":"` + tt.served + `","usage":` + tt.usage + `}`
			answer, err := chat.ParseResponse([]byte(body))
			if err != nil || answer.Usage == nil || answer.Usage.Invalid {
				t.Fatalf("%+v, %v", answer, err)
			}
			req, err := chat.ParseRequest([]byte(`{"model":"` + tt.model + `","messages":[{"role":"user","content":"x"}],"service_tier":"` +
				tt.asked + `"}`))
			if err != nil {
				t.Fatal(err)
			}
			target := &providers.Target{
				Provider: "p", Model: tt.model,
				Can: providers.Abilities{Reasoning: strings.HasPrefix(tt.model, "gemini")},
			}
			p, _ := plan.Make(plan.Input{Request: req, Strategy: plan.Cheapest, Offers: []plan.Offer{{
				Target: target, Prices: book.At("p", tt.model, epoch), Hold: 1e9, Prompt: tokens.Estimate{Tokens: 1e9},
			}}})
			c := p.Candidates[0]
			c.MaxOutput = 1e9
			m := Meter{Request: req, Plan: p}
			row, observed := m.Used(Use{Candidate: &c, Attempt: 1, Status: billing.StatusOK, Usage: answer.Usage},
				fixed{bound: reported(answer.Usage).Prompt(), prompt: reported(answer.Usage).Prompt()})
			if !observed || row.Disputed {
				t.Errorf("disputed: %+v", row)
			}
			if row.Cost.Total != tt.want {
				t.Errorf("%+v of %s costs %d, want %d: %+v", row.Tokens, row.Price.ID, row.Cost.Total, tt.want, row.Cost)
			}
			if sum := row.Cost.Input + row.Cost.CacheRead + row.Cost.CacheWrite + row.Cost.Output + row.Cost.Fee; sum != row.Cost.Total {
				t.Errorf("the meters add up to %d, not to %d", sum, row.Cost.Total)
			}
			seen[row.Price.ID] = true
		})
	}
	if len(tests) < 40 || len(seen) < 18 {
		t.Errorf("%d usages of %d prices", len(tests), len(seen))
	}
}
