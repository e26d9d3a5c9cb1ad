package gemini

import (
	"tallyroute/providers"
	"tallyroute/providers/translate"
)

// Members lists what generateContent accepts beyond the OpenAI format, by the names used in
// that format. Source: the references of the Gemini API and of Vertex AI.
func Members() providers.Members {
	lines := []providers.Line{
		providers.Free.Of("safety_settings", "labels", "thinking_config", "google.safety_settings", "google.safetySettings",
			"google.thinking_config", "google.thinkingConfig", "top_k", "speech_config"),
		providers.Stored.Of("cached_content", "google.cached_content", "google.cachedContent", "audio.voice"),
		providers.PricedBy(providers.MeterGrounding, 1, "web_search_options"),
		translate.HostedMembers(),
		providers.PricedBy(providers.MeterGrounding, 0, "tools.web_search"),
		providers.PricedBy(providers.MeterGrounding, 0, "tools.web_search_preview"),
		providers.PricedBy(providers.MeterGrounding, 0, "tools.openrouter:web_search"),
		providers.PricedBy(providers.MeterWebFetch, 0, "tools.web_fetch"),
		providers.PricedBy(providers.MeterCodeExecution, 0, "tools.code_interpreter"),
		providers.PricedBy(providers.MeterImage, 0, "modalities"),
		providers.PricedBy(providers.MeterImage, 0, "image_config"),
	}
	for name, to := range natives {
		at := "tools." + name
		switch to {
		case "googleSearch", "googleSearchRetrieval":
			lines = append(lines, providers.PricedBy(providers.MeterGrounding, 0, at))
		case "googleMaps":
			lines = append(lines, providers.PricedBy(providers.MeterMaps, 0, at))
		case "urlContext":
			lines = append(lines, providers.PricedBy(providers.MeterWebFetch, 0, at))
		case "codeExecution":
			lines = append(lines, providers.PricedBy(providers.MeterCodeExecution, 0, at))
		case "computerUse":
			lines = append(lines, providers.Free.Of(at))
		case "fileSearch", "retrieval":
			lines = append(lines, providers.Stored.Of(at))
		}
	}
	return translate.Members(lines...)
}
