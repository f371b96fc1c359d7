-- The requests of press.c, for wrk: the same length, a new key each, any account.
-- Nothing is done with the answers here; wrk itself counts what is not 2xx.
local counter = 0
local thread_count = 0

function setup(thread)
  thread:set("number", thread_count)
  thread_count = thread_count + 1
end

function init(args)
  math.randomseed(os.time() + number)
  accounts = tonumber(args[1])
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Authorization"] = "Bearer " .. os.getenv("PRESS_KEY")
  prefix = args[2]
end

function request()
  counter = counter + 1
  wrk.headers["Idempotency-Key"] = string.format("%s%d-%012d", prefix, number, counter)
  local body = string.format(
    '{"account_id":"bench-%08d","merchant_id":"bench-shop","amount_minor":%d,"currency":"EUR"}',
    math.random(0, accounts - 1), math.random(100, 999))
  return wrk.format(nil, nil, nil, body)
end
