import { setTimeout as delay } from 'node:timers/promises'

import { readUnprovisioned } from '../../agent/config/base-document.ts'
import { runFirstBoot, type FirstBootOptions } from '../../agent/composition/first-boot/first-boot.ts'
import { LogRing } from '../../agent/logs/log-ring.ts'
import { CountingLog } from './counting-log.ts'
import { floorOrder, imageFolder, type FloorNews } from './factory-floor-messages.ts'

/**
 * The appliances of a factory floor, each with the agent's own first boot: `factory-floor-process.ts FOLDER OVERRIDES`, with what
 * `runFirstBoot` takes as JSON. Takes orders by IPC, and tells what became of the appliances.
 */
const [, , folder = '', overrides = '{}'] = process.argv
const log = new CountingLog()
const never = new AbortController().signal

process.on('message', (message: unknown) => {
  const order = floorOrder.parse(message)
  if (order.kind === 'switch-on') void switchOn(order)
  else tell({ kind: 'said', counts: [...log.counts], residentBytes: process.memoryUsage().rss })
})
process.on('disconnect', () => {
  process.exit(0)
})

async function switchOn({ count, withinMs }: { readonly count: number; readonly withinMs: number }): Promise<void> {
  const beganMs = performance.now()
  for (let number = 1; number <= count; number += 1) {
    await delay(Math.max(0, beganMs + (withinMs * (number - 1)) / count - performance.now()))
    void provisioned(number).then(tell)
  }
}

async function provisioned(number: number): Promise<FloorNews> {
  try {
    const config = await readUnprovisioned(`${imageFolder(folder, number)}/config.json`)
    if (config === undefined) throw new Error('it has an identity')
    const options = JSON.parse(overrides) as NonNullable<FirstBootOptions['overrides']> // the test's own
    await runFirstBoot({ config, log, recent: new LogRing(), overrides: options }, never)
    return { kind: 'provisioned', number }
  } catch (error) {
    return { kind: 'gave-up', number, why: String(error) }
  }
}

function tell(news: FloorNews): void {
  process.send?.(news)
}
