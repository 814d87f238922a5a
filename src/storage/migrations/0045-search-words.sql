-- The words of messages are made by the server, by the same rules as those of queries: addresses, names of files and writing without
-- spaces are found by their parts. What was indexed by other rules is indexed anew, in the background.
TRUNCATE event_search;
DELETE FROM consumer_cursor WHERE consumer = 'message_search';
