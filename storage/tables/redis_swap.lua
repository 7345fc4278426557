-- Replaces a table's entry in the catalogue, if it is as expected. Returns whether it was.
--
-- KEYS: the entries, those of tables being dropped. ARGV: the table's name, the entry that must be there (empty: none),
--   the new one (empty: none), the number under which the one that was there is dropped (empty: it is not).

if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 0
end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[4], ARGV[2])
end
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
