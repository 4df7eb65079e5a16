-- The clicks of examples/clicks, with a column for every field, so that each tool has the same columns to write.
CREATE EXTERNAL TABLE ${table} (
  event_id string,
  event_name string,
  user_id string,
  session_id string,
  collector_tstamp timestamp,
  device_tstamp timestamp,
  page struct<url:string,title:string,referrer:string,path:string>,
  geo struct<country:string,city:string,lat:double,lon:double>,
  device struct<type:string,os:string,browser:string,screen:struct<width:int,height:int>>,
  items array<struct<sku:string,name:string,price:decimal(10,2),quantity:int>>,
  attributes map<string,string>,
  metadata struct<ingest:struct<version:string,shard:int>,collector:string>,
  user_agent string,
  ip string,
  is_bot boolean,
  is_logged_in boolean,
  sequence bigint,
  engagement double,
  consent struct<analytics:boolean,ads:boolean>
)
PARTITIONED BY (year string, month string, day string, hour string)
STORED AS PARQUET
LOCATION '${location}'
