import '@servicenow/sdk/global'

declare global {
    namespace Now {
        namespace Internal {
            interface Keys extends KeysRegistry {
                explicit: {
                    base: {
                        table: 'sys_properties'
                        id: '6a5a76169f594c1f9a44acfe86da0c0d'
                    }
                    bom_json: {
                        table: 'sys_module'
                        id: '627803df2cee44109b197533ac6f5c55'
                    }
                    button: {
                        table: 'sys_ui_action'
                        id: '2e867fca4fe74fef92f479ee63ebf4ee'
                    }
                    call: {
                        table: 'sys_script_include'
                        id: '587a65fa597744e78c1cf300f9190eba'
                    }
                    connection: {
                        table: 'sys_properties'
                        id: '02c08bbce99d4e33bd3ae5b900f6dcc6'
                    }
                    first: {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: 'dd7180842b9842c8b4868e4cd7ae9927'
                    }
                    first_catch: {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: '282404f1032e4ed980a7f076eae1265a'
                    }
                    'first-call': {
                        table: 'sys_hub_action_instance_v2'
                        id: '9f6e6654bfad412ab472390908ef9659'
                    }
                    'first-wait': {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: '7baf62e1eef448a5b743bfb0fa73d334'
                    }
                    package_json: {
                        table: 'sys_module'
                        id: '05eee84c2b6843b78a18bbf7048a5c96'
                    }
                    'pick-first': {
                        table: 'sys_script'
                        id: '16906ea5a92d40afb83a3b581b2bdf38'
                    }
                    'pick-last': {
                        table: 'sys_script'
                        id: '8fcd0e00041b4f88beb405b497162a67'
                    }
                    'pick-read': {
                        table: 'sys_security_acl'
                        id: '4304f3748ba54b3e94454e959ef13a99'
                    }
                    'pick-write': {
                        table: 'sys_security_acl'
                        id: '477cd1d87282413fb15b3ad99d7207fc'
                    }
                    second: {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: '73209c7d82b34ce695f7402a4906d32d'
                    }
                    second_catch: {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: 'd16ef20e5886425d84e92d1679a227a8'
                    }
                    'second-call': {
                        table: 'sys_hub_action_instance_v2'
                        id: '2fc647e3911446f7afae6c072b1e926b'
                    }
                    'second-wait': {
                        table: 'sys_hub_flow_logic_instance_v2'
                        id: 'a71d216a40094907a6065eaf8f965b23'
                    }
                    secret: {
                        table: 'sys_properties'
                        id: '1dfa32aab8214bc49765d39a4e197293'
                    }
                    tell: {
                        table: 'sys_script'
                        id: '45b8f6cc36c94b17af55ecfdb3696907'
                    }
                    'tell-action': {
                        table: 'sys_hub_action_type_definition'
                        id: '0e3556b25df14ac08c8a775d9c54cf18'
                    }
                    'tell-flow': {
                        table: 'sys_hub_flow'
                        id: '23c824c10dff45a592d9c0293dd81c38'
                    }
                    'tell-step': {
                        table: 'sys_hub_step_instance'
                        id: 'd2e767e452cd4a98a79ccba982784f1c'
                    }
                    'tell-trigger': {
                        table: 'sys_hub_trigger_instance_v2'
                        id: '1533b4fd671c487fa01c74e5ee49f130'
                    }
                    'third-call': {
                        table: 'sys_hub_action_instance_v2'
                        id: '9eb50bcc5ea04778b63a640c6ad5f6bf'
                    }
                }
                composite: [
                    {
                        table: 'sys_security_acl_role'
                        id: '02f8bc9ec8234dbf9df8375d6cfa2e23'
                        key: {
                            sys_security_acl: '4304f3748ba54b3e94454e959ef13a99'
                            sys_user_role: {
                                id: '9c2bdf0373064264b533bae54bcb1cb3'
                                key: {
                                    name: 'sn_incident_read'
                                }
                            }
                        }
                    },
                    {
                        table: 'sys_hub_action_input'
                        id: '1329fdc631d5429a989c920699dc779b'
                        key: {
                            model: '0e3556b25df14ac08c8a775d9c54cf18'
                            element: 'started'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: '393fa15c23594a0285153405a3dad576'
                        key: {
                            name: 'incident'
                            element: 'u_elevate_pick'
                            language: 'en'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: '5acd960e0a1f4196b31e6a226a64661e'
                        key: {
                            name: 'var__m_sys_hub_action_input_0e3556b25df14ac08c8a775d9c54cf18'
                            element: 'started'
                            language: 'en'
                        }
                    },
                    {
                        table: 'sys_db_object'
                        id: '6e807232611c40b590255e8d655fe4df'
                        key: {
                            name: 'incident'
                        }
                    },
                    {
                        table: 'sys_hub_action_output'
                        id: '79e8cccc8fcd4b81b21be87f0a87f2fe'
                        key: {
                            model: '0e3556b25df14ac08c8a775d9c54cf18'
                            element: '__dont_treat_as_error__'
                        }
                    },
                    {
                        table: 'sys_variable_value'
                        id: '7af7e090100e4dbebcb2d0b189cf26ff'
                        key: {
                            document_key: 'd2e767e452cd4a98a79ccba982784f1c'
                            variable: '71aa7f6647032200b4fad7527c9a719b'
                        }
                    },
                    {
                        table: 'sys_dictionary'
                        id: '84a4e40f35a74ccfa89d8a6b843c0c13'
                        key: {
                            name: 'incident'
                            element: 'u_elevate_pick'
                        }
                    },
                    {
                        table: 'sys_hub_action_output'
                        id: '996bc71ede1d477ea162825c6d1c27d8'
                        key: {
                            model: '0e3556b25df14ac08c8a775d9c54cf18'
                            element: '__action_status__'
                        }
                    },
                    {
                        table: 'sys_hub_action_input'
                        id: 'a45ed4c2fd46424c8e3c7b405141e065'
                        key: {
                            model: '0e3556b25df14ac08c8a775d9c54cf18'
                            element: 'ticket'
                        }
                    },
                    {
                        table: 'sys_element_mapping'
                        id: 'aa5badae29e14cea84a6fde13017931a'
                        key: {
                            field: 'started'
                            table: 'var__m_sys_hub_step_ext_input_d2e767e452cd4a98a79ccba982784f1c'
                            id: 'd2e767e452cd4a98a79ccba982784f1c'
                        }
                    },
                    {
                        table: 'sys_hub_step_ext_input'
                        id: 'b40c6388ccd54d04b8322893a7e83f1b'
                        key: {
                            model: 'd2e767e452cd4a98a79ccba982784f1c'
                            element: 'started'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: 'b76264421be74dc08f83048461a9ebd5'
                        key: {
                            name: 'incident'
                            element: 'NULL'
                            language: 'en'
                        }
                    },
                    {
                        table: 'sys_element_mapping'
                        id: 'd767f126de4a46b3ad427ad223ccab14'
                        key: {
                            field: 'ticket'
                            table: 'var__m_sys_hub_step_ext_input_d2e767e452cd4a98a79ccba982784f1c'
                            id: 'd2e767e452cd4a98a79ccba982784f1c'
                        }
                    },
                    {
                        table: 'ua_table_licensing_config'
                        id: 'd84c6a36ee00457b9d75dbb591b376d7'
                        key: {
                            name: 'incident'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: 'd8c0e208698744978f81924f845269f4'
                        key: {
                            name: 'var__m_sys_hub_action_output_0e3556b25df14ac08c8a775d9c54cf18'
                            element: '__action_status__'
                            language: 'en'
                        }
                    },
                    {
                        table: 'sys_hub_step_ext_input'
                        id: 'df5cacc1a1204f88a1509c6a1f946feb'
                        key: {
                            model: 'd2e767e452cd4a98a79ccba982784f1c'
                            element: 'ticket'
                        }
                    },
                    {
                        table: 'sys_variable_value'
                        id: 'e489409fb3fb4a5e8b6278b4d6f0a819'
                        key: {
                            document_key: 'd2e767e452cd4a98a79ccba982784f1c'
                            variable: '74315b04b3201300176b051a16a8dc2b'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: 'e499a2f9a86847ffa0cbd23386e7eeb8'
                        key: {
                            name: 'var__m_sys_hub_action_output_0e3556b25df14ac08c8a775d9c54cf18'
                            element: '__dont_treat_as_error__'
                            language: 'en'
                        }
                    },
                    {
                        table: 'sys_documentation'
                        id: 'e8ca2f974b534c93aa0d7df5af30ced7'
                        key: {
                            name: 'var__m_sys_hub_action_input_0e3556b25df14ac08c8a775d9c54cf18'
                            element: 'ticket'
                            language: 'en'
                        }
                    },
                ]
            }
        }
    }
}
