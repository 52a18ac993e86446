// Takes aggregates apart with AWS's own library for Node.
//
// Reads a JSON list of {"key", "data"} (data in base64) from standard input; writes the list of what
// is inside, in the same form. With `--make` it does the opposite: packs the records into aggregates.
'use strict'

const { RecordAggregator, deaggregateSync } = require('aws-kinesis-agg')
const { readFileSync, writeSync } = require('fs')

function decode (records) {
  const inside = []
  for (const [number, { key, data }] of records.entries()) {
    const record = { partitionKey: key, sequenceNumber: String(number), data }
    deaggregateSync(record, true, (error, found) => {
      if (error) throw error
      for (const one of found) inside.push({ key: one.partitionKey, data: one.data.toString('base64') })
    })
  }
  return inside
}

function make (records) {
  const full = []
  const keep = (error, { partitionKey, data }) => {
    if (error) throw error
    full.push({ key: partitionKey, data: data.toString('base64') })
  }
  const given = records.map(({ key, data }) => ({ partitionKey: key, data: Buffer.from(data, 'base64') }))
  const aggregator = new RecordAggregator()
  aggregator.aggregateRecords(given, true, keep)
  return full
}

const records = JSON.parse(readFileSync(0, 'utf8'))
const answer = JSON.stringify((process.argv.includes('--make') ? make : decode)(records))
for (let at = 0; at < answer.length;) at += writeSync(1, answer.slice(at))
