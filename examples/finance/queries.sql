-- Questions that finance asks, as role finance with search_path = finance.

-- What did each team spend last month?
SELECT team, cost_center, cost_usd, requests
FROM spend_by_team_month WHERE month = to_char(current_date - interval '1 month', 'YYYY-MM') ORDER BY cost_usd DESC;

-- How did that change from month to month?
SELECT month, team, cost_usd,
       round(100 * (cost_usd / nullif(lag(cost_usd) OVER (PARTITION BY team ORDER BY month), 0) - 1), 1) AS change_percent
FROM spend_by_team_month ORDER BY team, month;

-- A chargeback file: cost center by provider.
SELECT cost_center, provider, round(sum(cost_usd), 2) AS amount_usd
FROM spend_by_day WHERE month = to_char(current_date, 'YYYY-MM') GROUP BY 1, 2 ORDER BY 1, 2;

-- The ten keys that spent most in seven days.
SELECT key_name, team, round(sum(cost_usd), 2) AS cost_usd
FROM spend_by_day WHERE day > current_date - 7 GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 10;

-- What does a million tokens of each model really cost us?
SELECT month, provider, model, cost_usd, usd_per_million_tokens
FROM spend_by_model_month WHERE month = to_char(current_date, 'YYYY-MM') ORDER BY usd_per_million_tokens DESC;

-- What did routing to the cheapest provider save?
SELECT month, round(sum(routing_savings_usd), 2) AS saved_usd FROM spend_by_day GROUP BY 1 ORDER BY 1;

-- Which usage has no price, and so is missing from every total above?
SELECT * FROM unpriced_usage ORDER BY tokens DESC;

-- What was spent outside production?
SELECT month, environment, round(sum(cost_usd), 2) AS cost_usd
FROM spend_by_day WHERE environment <> 'prod' GROUP BY 1, 2 ORDER BY 1, 2;

-- What does a feature cost per request?
SELECT tags->>'feature' AS feature, count(*) FILTER (WHERE kind = 'usage' AND final) AS requests,
       round(sum(cost_usd) / nullif(count(*) FILTER (WHERE kind = 'usage' AND final), 0), 6) AS usd_per_request
FROM spend WHERE day >= date_trunc('month', current_date) GROUP BY 1 ORDER BY 2 DESC;
