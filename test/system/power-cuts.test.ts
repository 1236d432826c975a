import { expect, it } from 'vitest'

import { lacksMosquitto } from '../support/mosquitto.ts'
import { FieldSite } from './support/field-site.ts'
import { cutKinds, cutPoints, cutPower, type Cut, type CutKind } from './support/power-cuts.ts'

/** Split evenly between the kinds. */
const cuts = Number(process.env['PANORAMA_TEST_FIELD_CUTS'] ?? 30)
const ofKind = Math.ceil(cuts / cutKinds.length)
const why = await lacksMosquitto('power cuts of an appliance in the field')

it.skipIf(why).concurrent.each(cutKinds)(
  `an appliance ends in one identity or version that works when its power is cut in %s (${ofKind} times)`,
  async (kind) => {
    await using site = await FieldSite.make({ versions: kind === 'update' })
    await site.appliance.container.boot()
    await site.atWork()
    const done: Cut[] = []
    for (const point of cutPoints(kind, ofKind)) {
      const cut = await cutPower(site, point)
      console.log(`power cut ${cut.afterMs} ms into ${kind}: ${cut.stage} -> ${cut.outcome}`)
      done.push(cut)
    }
    expect(done).toHaveLength(ofKind)
    console.log(tallyOf(kind, done))
  },
  600_000 + ofKind * 120_000,
)

function tallyOf(kind: CutKind, cuts: readonly Cut[]): string {
  const rows = [...Map.groupBy(cuts, ({ stage, outcome }) => `${stage} -> ${outcome}`)]
  const lines = rows.map(([row, { length }]) => `  ${String(length).padStart(4)}  ${row}`)
  return [`${cuts.length} power cuts in ${kind}:`, ...lines.toSorted()].join('\n')
}
