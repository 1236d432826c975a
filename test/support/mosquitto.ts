import { mosquittoHint } from '../cloud/iot/iot-cloud.ts'
import { findMosquitto } from '../cloud/iot/mosquitto.ts'

/** Whether tests that need AWS IoT Core have to be left out, which is said in the output. */
export async function lacksMosquitto(what: string): Promise<boolean> {
  if ((await findMosquitto(process.env['PATH'] ?? '')) !== undefined) return false
  console.log(`skipped, because ${mosquittoHint}: ${what}`)
  return true
}

/** The same for tests that take minutes together, so that they are run on their own. */
export async function leavesOutJobFaults(what: string): Promise<boolean> {
  if (process.env['PANORAMA_TEST_JOB_FAULTS'] === '1') return await lacksMosquitto(what)
  console.log(`left out: ${what} needs PANORAMA_TEST_JOB_FAULTS=1`)
  return true
}
