"""What the limiter does inside Redis: one script a question, by Redis's own clock.

All times are microseconds. `PACE` is put in front of the others: `rate_now` is the nominal rate, or
after a cut what has grown back since; `ordered` is what an operator set in place of a setting
(shared/orders.py).
"""

PACE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function text(number) return string.format('%.0f', number) end
local function ordered(key, name, setting)
  return tonumber(redis.call('HGET', key, name) or setting)
end
local function rate_now(key, nominal, recover)
  local cut = redis.call('HMGET', key, 'rate', 'at')
  if not cut[1] then return nominal end
  return math.min(nominal, cut[1] + nominal * (now - cut[2]) / recover)
end
"""

# KEYS  when the next slot may come, requests so far, calls that have a place, the line of those
#       that wait for one, when each of these is taken for dead, pace, slots whose request may still
#       be sent, when the last requests were sent, orders, requests by tens of seconds
# ARGV  id of the call, nominal rate a second (0: none), pace, burst, places (0: no end), longest
#       wait, how long the place lasts after the slot, time to recover, how late a request may be
#       sent, how much later than we know it may reach the supplier
# Returns {what, wait, rate, nominal rate}: 'slot', reserved, and comes in `wait`; 'line', ask again
# in `wait`; or 'never' within the longest wait, with nothing reserved.
#
# A slot comes where fewer than `most` others may be sent within `window` before it: those that were
# sent by then, and every one whose request may still be sent, however late.
ACQUIRE = (
    PACE
    + """
local id, nominal = ARGV[1], ordered(KEYS[9], 'rate', ARGV[2])
local burst, places = ordered(KEYS[9], 'burst', ARGV[4]), ordered(KEYS[9], 'places', ARGV[5])
local wait_max, lease, late = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[9])
local rate = rate_now(KEYS[6], nominal, tonumber(ARGV[8]))
local most, window, between = math.huge, 0, 0
if rate > 0 then
  most = math.ceil(rate)
  window = math.ceil(1000000 * most / rate) + ARGV[10]
  between = math.ceil(1000000 * ARGV[3] / rate)
end

local function leave()
  redis.call('ZREM', KEYS[4], id)
  redis.call('ZREM', KEYS[5], id)
end

local function never(wait)
  leave()
  redis.call('ZREM', KEYS[3], id)
  return {'never', wait, tostring(rate), tostring(nominal)}
end

redis.call('ZREM', KEYS[7], id)
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', text(now))
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', text(now - late))
redis.call('ZREMRANGEBYSCORE', KEYS[8], '-inf', text(now - math.max(window, 1000000)))
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '-inf', text(now))) do
  redis.call('ZREM', KEYS[4], dead)
  redis.call('ZREM', KEYS[5], dead)
end

local again = redis.call('ZSCORE', KEYS[3], id)
local before = redis.call('ZRANK', KEYS[4], id) or redis.call('ZCARD', KEYS[4])
local to_send = most - redis.call('ZCARD', KEYS[7])
local free = to_send
if places > 0 and not again then
  free = math.min(free, places - redis.call('ZCARD', KEYS[3]))
end
if before >= free then
  local wait = math.max(10000, math.min(250000, (before - free + 1) * between))
  if before >= to_send then
    local first = redis.call('ZRANGE', KEYS[7], 0, 0, 'WITHSCORES')
    local least = first[2] and first[2] + window - now + (before - to_send) * between or 0
    if least > wait_max then return never(least) end
  end
  if wait > wait_max then return never(wait) end
  redis.call('ZADD', KEYS[4], 'NX', text(now), id)
  redis.call('ZADD', KEYS[5], text(now + wait + 1000000), id)
  redis.call('PEXPIRE', KEYS[4], 5000)
  redis.call('PEXPIRE', KEYS[5], 5000)
  return {'line', wait, tostring(rate), tostring(nominal)}
end
leave()

local earliest = now
if rate > 0 then
  local full = redis.call('ZREVRANGE', KEYS[8], to_send - 1, to_send - 1, 'WITHSCORES')
  if full[2] then earliest = math.max(earliest, full[2] + window) end
end
local after = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), earliest) + between
local slot = math.max(earliest, after - burst * between)
local wait = slot - now
if wait > wait_max then return never(wait) end
if between > 0 then
  redis.call('SET', KEYS[1], text(after), 'PX', math.ceil((after - now) / 1000) + 1000)
end
if not again then
  redis.call('INCR', KEYS[2])
  local ten = math.floor(now / 10000000)
  if redis.call('HINCRBY', KEYS[10], ten, 1) == 1 then
    for _, old in ipairs(redis.call('HKEYS', KEYS[10])) do
      if tonumber(old) < ten - 6 then redis.call('HDEL', KEYS[10], old) end
    end
    redis.call('EXPIRE', KEYS[10], 70)
  end
end
redis.call('ZADD', KEYS[7], text(slot), id)
redis.call('PEXPIRE', KEYS[7], math.ceil((wait + late) / 1000) + 1000)
redis.call('ZADD', KEYS[3], text(slot + lease), id)
redis.call('PEXPIRE', KEYS[3], math.ceil((wait + lease) / 1000) + 1000)
return {'slot', wait, tostring(rate), tostring(nominal)}
"""
)

# Who says that it has sent has sent before now; who asks late has not sent before its slot.
SENT_NOW = """
local function sent_now(to_send, sent, id, keep)
  local slot = redis.call('ZSCORE', to_send, id)
  if not slot then return end
  redis.call('ZREM', to_send, id)
  redis.call('ZADD', sent, text(math.max(now, slot)), id)
  redis.call('PEXPIRE', sent, math.max(keep, redis.call('PTTL', sent)))
end
"""

# KEYS  slots whose request may still be sent, when the last requests were sent
# ARGV  id of the call, how long that counts in milliseconds
SENT = PACE + SENT_NOW + "sent_now(KEYS[1], KEYS[2], ARGV[1], tonumber(ARGV[2]))"

# KEYS  calls that have a place, pace, retries left, those of SENT, and orders
# ARGV  id of the call, how it ended, nominal rate, time to recover, what is left of the rate by a
#       cut, the least that is left of it, time between two cuts, retries earned, retries kept, and
#       how long a request counts in milliseconds
# Returns {1 where the rate was cut now, rate, nominal rate}.
RELEASE = (
    PACE
    + SENT_NOW
    + """
sent_now(KEYS[4], KEYS[5], ARGV[1], tonumber(ARGV[10]))
local ended, recover = ARGV[2], tonumber(ARGV[4])
local nominal = ordered(KEYS[6], 'rate', ARGV[3])
redis.call('ZREM', KEYS[1], ARGV[1])
if ended == 'answered' then
  local left = tonumber(redis.call('GET', KEYS[3]) or ARGV[9])
  redis.call('SET', KEYS[3], tostring(math.min(tonumber(ARGV[9]), left + ARGV[8])))
end
local rate = rate_now(KEYS[2], nominal, recover)
local at = redis.call('HGET', KEYS[2], 'at')
if ended ~= 'throttled' or nominal == 0 or (at and now - at < tonumber(ARGV[7])) then
  return {0, tostring(rate), tostring(nominal)}
end
rate = math.max(nominal * ARGV[6], rate * ARGV[5])
redis.call('HSET', KEYS[2], 'rate', tostring(rate), 'at', text(now))
redis.call('PEXPIRE', KEYS[2], math.ceil(recover / 1000))
return {1, tostring(rate), tostring(nominal)}
"""
)

# KEYS  retries left. ARGV  retries kept. Returns 1 where one was left, and takes it.
RETRY = """
local left = tonumber(redis.call('GET', KEYS[1]) or ARGV[1])
if left < 1 then return 0 end
redis.call('SET', KEYS[1], tostring(left - 1))
return 1
"""

# KEYS  requests so far, when the last requests were sent, calls that have a place, pace, orders,
#       requests by tens of seconds, the line, retries left
# ARGV  nominal rate, time to recover, burst, places, retries kept
# Returns {requests so far, in the last second, calls with a place, rate, nominal rate, burst,
# places, in the last 60 to 70 seconds, calls that wait for a place, retries left}.
USED = (
    PACE
    + """
local nominal = ordered(KEYS[5], 'rate', ARGV[1])
local minute = 0
local tens = redis.call('HGETALL', KEYS[6])
for i = 1, #tens, 2 do
  if tonumber(tens[i]) >= math.floor(now / 10000000) - 6 then minute = minute + tens[i + 1] end
end
return {
  tonumber(redis.call('GET', KEYS[1]) or 0),
  redis.call('ZCOUNT', KEYS[2], '(' .. text(now - 1000000), text(now)),
  redis.call('ZCOUNT', KEYS[3], text(now), '+inf'),
  tostring(rate_now(KEYS[4], nominal, tonumber(ARGV[2]))),
  tostring(nominal),
  ordered(KEYS[5], 'burst', ARGV[3]),
  ordered(KEYS[5], 'places', ARGV[4]),
  minute,
  redis.call('ZCARD', KEYS[7]),
  math.floor(tonumber(redis.call('GET', KEYS[8]) or ARGV[5]))
}
"""
)
