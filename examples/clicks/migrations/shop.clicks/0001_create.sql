-- The clicks of the shop's web site. Fields that are not listed (`consent` is one) end up in `rescued` as JSON text.
CREATE EXTERNAL TABLE ${table} (
  event_id string COMMENT 'UUID; an event that was delivered twice has the same one twice',
  event_name string,
  user_id string COMMENT 'null for visitors who are not known',
  session_id string,
  collector_tstamp timestamp COMMENT 'when the collector took the event, UTC',
  device_tstamp timestamp COMMENT 'what the clock of the device said, UTC',
  page struct<url:string,title:string,referrer:string,path:string>,
  geo struct<country:string,city:string,lat:double,lon:double>,
  device struct<type:string,os:string,browser:string,screen:struct<width:int,height:int>>,
  items array<struct<sku:string,name:string,price:decimal(10,2),quantity:int>>,
  attributes map<string,string> COMMENT 'campaign, experiments and whatever else a page sends',
  metadata struct<ingest:struct<version:string,shard:int>,collector:string>,
  user_agent string,
  ip string,
  is_bot boolean,
  is_logged_in boolean,
  sequence bigint,
  engagement double COMMENT 'seconds',
  rescued map<string,string> COMMENT 'fields that no column was made for, as JSON text'
)
COMMENT 'clicks as the collector sent them'
PARTITIONED BY (year string, month string, day string, hour string)
STORED AS PARQUET
LOCATION '${location}'
