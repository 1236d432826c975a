import { expect, it } from 'vitest'

import { configWarnings } from '../../../agent/config/config-warnings.ts'
import { parseConfig } from '../../../agent/config/load-config.ts'
import { configDocument } from '../../support/config-document.ts'

function warned(url: string, mqtt: string | undefined): readonly string[] {
  const document = configDocument()
  const endpoints = { ...document.endpoints, mqtt }
  const config = parseConfig({ ...document, endpoints, network: { proxy: { url } } }, 'config.json')
  return configWarnings(config).map(({ path }) => path)
}

it('warns of a proxy by TLS and IPv6 address, which MQTT may not get through', () => {
  expect(warned('https://[fd00::1]:3129', 'a1-ats.iot.us-west-2.amazonaws.com')).toEqual(['network.proxy.url'])
  expect(warned('https://[fd00::1]:3129', undefined)).toEqual([])
  expect(warned('http://[fd00::1]:3128', 'a1-ats.iot.us-west-2.amazonaws.com')).toEqual([])
  expect(warned('https://proxy.example:3129', 'a1-ats.iot.us-west-2.amazonaws.com')).toEqual([])
})
