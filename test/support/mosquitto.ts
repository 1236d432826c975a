import { mosquittoHint } from '../cloud/iot/iot-cloud.ts'
import { findMosquitto } from '../cloud/iot/mosquitto.ts'

/** Whether tests that need AWS IoT Core have to be left out, which is said in the output. */
export async function lacksMosquitto(what: string): Promise<boolean> {
  if ((await findMosquitto(process.env['PATH'] ?? '')) !== undefined) return false
  console.log(`skipped, because ${mosquittoHint}: ${what}`)
  return true
}
