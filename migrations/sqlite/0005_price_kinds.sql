-- Kinds of usage that are inside another kind and may have a rate of their own:
-- prompt tokens kept in a cache for an hour (in cache_write_tokens), audio heard
-- (in input_tokens) and audio spoken (in output_tokens). Their cost is in the
-- meter of the kind that they are inside.
ALTER TABLE spend_events ADD COLUMN cache_write_1h_tokens INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_1h_tokens BETWEEN -1000000000000000 AND 1000000000000000);
ALTER TABLE spend_events ADD COLUMN audio_input_tokens INTEGER NOT NULL DEFAULT 0 CHECK (audio_input_tokens BETWEEN -1000000000000000 AND 1000000000000000);
ALTER TABLE spend_events ADD COLUMN audio_output_tokens INTEGER NOT NULL DEFAULT 0 CHECK (audio_output_tokens BETWEEN -1000000000000000 AND 1000000000000000);

-- The rates of these kinds and of reasoning, always written out.
ALTER TABLE prices ADD COLUMN cache_write_1h_nano INTEGER NOT NULL DEFAULT 0 CHECK (cache_write_1h_nano BETWEEN 0 AND 1000000000000000000);
ALTER TABLE prices ADD COLUMN reasoning_nano INTEGER NOT NULL DEFAULT 0 CHECK (reasoning_nano BETWEEN 0 AND 1000000000000000000);
ALTER TABLE prices ADD COLUMN audio_input_nano INTEGER NOT NULL DEFAULT 0 CHECK (audio_input_nano BETWEEN 0 AND 1000000000000000000);
ALTER TABLE prices ADD COLUMN audio_output_nano INTEGER NOT NULL DEFAULT 0 CHECK (audio_output_nano BETWEEN 0 AND 1000000000000000000);

-- Until now they cost as much as the kind that they are inside.
UPDATE prices SET cache_write_1h_nano = cache_write_nano, reasoning_nano = output_nano,
                  audio_input_nano = input_nano, audio_output_nano = output_nano;
