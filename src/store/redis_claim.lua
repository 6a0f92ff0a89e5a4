-- Takes a call over whose lease has lapsed.
-- KEYS: call (hash)    ARGV: owner, lease (ms from now)
-- Returns: 0 unknown, 1 ended, 2 held, 3 claimed; with 3, the generation
local call = KEYS[1]
local known = redis.call('HMGET', call, 'owner', 'generation', 'until', 'ended')
if not known[2] then
  return {0, 0}
end
if known[4] then
  return {1, 0}
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
if tonumber(known[3] or '0') > now and known[1] ~= ARGV[1] then
  return {2, 0}
end
local generation = tonumber(known[2]) + 1
redis.call('HSET', call, 'owner', ARGV[1], 'generation', string.format('%.0f', generation),
  'until', string.format('%.0f', now + tonumber(ARGV[2])))
return {3, generation}
