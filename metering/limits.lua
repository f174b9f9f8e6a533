-- Decides a batch of requests against all their limits at once; see metering/gate.py, which is the only caller.
--
-- KEYS[1] is the sorted set of the processes that are alive, by the time until which they are; the others are buckets.
-- A rate's bucket is a string of two numbers, how far ahead it was and when (common/ratelimit.py): their sum in one would
-- lose the fractions of a microsecond that add up over many requests. A concurrency's bucket is a hash, how
-- many slots each process holds; those of a process that is not alive do not count.
--
-- ARGV[1] packs {now_us or 0 for the clock of Redis, process, lease_us, operations}. An operation is one of
--   {1, check, ...}                  may this request come? a check is {bucket, cost_us, window_us}, or
--                                    {bucket, -1, limit} for a slot
--   {2, bucket, us}                  what was charged for a request was too little, or too much
--   {3, bucket}                      a slot is free again
--   {4, bucket, owed_us, ahead_us, known}   what a process charged by itself while Redis was away, and, where Redis has
--                                    lost it, how far ahead the bucket was when last heard of; the bucket `known` keeps
--                                    what was restored of it, since several processes tell the same
--   {5, bucket, slots}               how many slots this process holds
-- The answer packs {processes alive, for each {1} in order {index of the check that binds or 0, wait_us, state, ...}};
-- a check's state is how far ahead its bucket is in microseconds, or the slots in use.
local SLACK_US = 0.5
local HASH_TTL_MS = 86400000

local batch = cmsgpack.unpack(ARGV[1])
local now, process, lease = batch[1], batch[2], batch[3]
if now == 0 then
  local time = redis.call('TIME')
  now = time[1] * 1000000 + time[2]
end

local function exact(number)
  return string.format('%.17g', number)
end

redis.call('ZADD', KEYS[1], exact(now + lease), process)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', '(' .. exact(now))

local function ahead(key)
  local stored = redis.call('GET', key)
  if not stored then
    return 0
  end
  local ahead_us, at = struct.unpack('>dd', stored)
  return math.max(ahead_us - (now - at), 0)
end

local function put(key, ahead_us)
  if ahead_us <= 0 then
    redis.call('DEL', key)
  else
    redis.call('SET', key, struct.pack('>dd', ahead_us, now), 'PX', math.ceil(ahead_us / 1000) + 1000)
  end
end

local function taken(key)
  local held, total = redis.call('HGETALL', key), 0
  for at = 1, #held, 2 do
    if redis.call('ZSCORE', KEYS[1], held[at]) then
      total = total + tonumber(held[at + 1])
    else
      redis.call('HDEL', key, held[at])
    end
  end
  return total
end

local function admit(checks)
  local verdict, worst, binding = {0, 0}, -1, 0
  for at = 2, #checks do
    local key, cost, bound = KEYS[checks[at][1]], checks[at][2], checks[at][3]
    if cost < 0 then
      local slots = taken(key)
      verdict[at + 1] = slots
      if slots >= bound and worst < 0 then
        worst, binding = 0, at - 1
      end
    else
      local ahead_us = ahead(key)
      verdict[at + 1] = ahead_us
      local wait = ahead_us + cost - bound
      if wait > SLACK_US and wait > worst then
        worst, binding = wait, at - 1
      end
    end
  end
  if binding > 0 then
    verdict[1], verdict[2] = binding, worst
    return verdict
  end
  for at = 2, #checks do
    local key, cost = KEYS[checks[at][1]], checks[at][2]
    if cost < 0 then
      redis.call('HINCRBY', key, process, 1)
      redis.call('PEXPIRE', key, HASH_TTL_MS)
      verdict[at + 1] = verdict[at + 1] + 1
    else
      verdict[at + 1] = verdict[at + 1] + cost
      put(key, verdict[at + 1])
    end
  end
  return verdict
end

local function release(key)
  if redis.call('HINCRBY', key, process, -1) <= 0 then
    redis.call('HDEL', key, process)
  end
end

local function hold(key, slots)
  if slots > 0 then
    redis.call('HSET', key, process, slots)
    redis.call('PEXPIRE', key, HASH_TTL_MS)
  else
    redis.call('HDEL', key, process)
  end
end

local function restore(key, owed_us, heard_us, known)
  local known_us = ahead(known)
  put(key, ahead(key) + owed_us + math.max(heard_us - known_us, 0))
  put(known, math.max(heard_us, known_us))
end

local answer = {redis.call('ZCARD', KEYS[1])}
for _, operation in ipairs(batch[4]) do
  local kind, key = operation[1], KEYS[operation[2]]
  if kind == 1 then
    answer[#answer + 1] = admit(operation)
  elseif kind == 2 then
    put(key, ahead(key) + operation[3])
  elseif kind == 3 then
    release(key)
  elseif kind == 4 then
    restore(key, operation[3], operation[4], KEYS[operation[5]])
  else
    hold(key, operation[3])
  end
end
return cmsgpack.pack(answer)
