-- Applies one call's operations, all or none, once only.
-- KEYS: call (hash), log (stream), open (sorted set), ended (sorted set)
-- ARGV: key, owner, generation, room, agent, config hash, opened ms, kept while open (ms), kept once ended (ms),
--       lease (ms from now, -1: unchanged), epoch, last ms, ended ms (-1: not ended), then seq, stream id, bytes of each record
-- Returns: next seq, number of the last record with a gap before it (-1: none); or -1 where the call is another's
local call, log, open, ended = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local known = redis.call('HMGET', call, 'generation', 'owner', 'next', 'ended', 'epoch', 'last', 'opened')
local generation = tonumber(ARGV[3])
if known[1] then
  local theirs = tonumber(known[1])
  if theirs > generation or (theirs == generation and known[2] ~= ARGV[2]) or known[7] ~= ARGV[7] then
    return {-1, -1}
  end
else
  redis.call('HSET', call, 'key', ARGV[1], 'room', ARGV[4], 'agent', ARGV[5], 'config', ARGV[6], 'opened', ARGV[7])
end
local next, gap, records, bytes = tonumber(known[3] or '0'), -1, 0, 0
for i = 14, #ARGV, 3 do
  local seq = tonumber(ARGV[i])
  if seq >= next then
    -- A script that ran out of memory half-way may have left the record here already.
    local added = redis.pcall('XADD', log, ARGV[i + 1], 'r', ARGV[i + 2])
    if type(added) == 'table' and added.err and not string.find(added.err, 'equal or smaller', 1, true) then
      return added
    end
    if seq > next then
      gap = seq
    end
    next = seq + 1
    records = records + 1
    bytes = bytes + #ARGV[i + 2]
  end
end
redis.call('HSET', call, 'owner', ARGV[2], 'generation', ARGV[3], 'next', string.format('%.0f', next))
if tonumber(ARGV[11]) > tonumber(known[5] or '-1') then
  redis.call('HSET', call, 'epoch', ARGV[11])
end
if tonumber(ARGV[12]) > tonumber(known[6] or '-1') then
  redis.call('HSET', call, 'last', ARGV[12])
end
if records > 0 then
  redis.call('HINCRBY', call, 'records', records)
  redis.call('HINCRBY', call, 'bytes', bytes)
end
local is_ended = known[4]
if tonumber(ARGV[13]) >= 0 and not is_ended then
  is_ended = ARGV[13]
  redis.call('HSET', call, 'ended', ARGV[13], 'until', '0')
  redis.call('ZADD', ended, ARGV[13], ARGV[1])
  redis.call('ZREM', open, ARGV[1])
end
local kept = ARGV[9]
if not is_ended then
  kept = ARGV[8]
  redis.call('ZADD', open, 'GT', ARGV[12], ARGV[1])
  local lease = tonumber(ARGV[10])
  if lease == 0 then
    redis.call('HSET', call, 'until', '0')
  elseif lease > 0 then
    local time = redis.call('TIME')
    local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
    redis.call('HSET', call, 'until', string.format('%.0f', now + lease))
  end
end
redis.call('PEXPIRE', call, kept)
redis.call('PEXPIRE', log, kept)
return {next, gap}
